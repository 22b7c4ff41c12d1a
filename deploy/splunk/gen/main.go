// Command gen writes the parts of the Splunk add-on that follow from schemas/mappings/cim.yaml and from what the splunkhec exporter sends.
package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/mcpsiem/mcpsiem/deploy/splunk"
)

func main() {
	files, err := splunk.AddOn()
	if err != nil {
		log.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.FromSlash(name), []byte(content), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
