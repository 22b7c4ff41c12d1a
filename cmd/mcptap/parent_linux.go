package main

import (
	"bytes"
	"os"
	"strconv"
)

// parentCommand names the program that started the tap; "" if that is not known.
func parentCommand() string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getppid()) + "/comm")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}
