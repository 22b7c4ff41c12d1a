// Command gen writes the files of deploy/elastic that are made from code.
package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/mcpsiem/mcpsiem/deploy/elastic"
)

func main() {
	files, err := elastic.Files()
	if err != nil {
		log.Fatal(err)
	}
	for _, dir := range []string{"elasticsearch", "serverless", "opensearch", "kibana"} {
		if err := os.RemoveAll(dir); err != nil {
			log.Fatal(err)
		}
	}
	for name, b := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
