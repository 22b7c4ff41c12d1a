//go:build !linux && !darwin

package main

// parentCommand names the program that started the tap; not known here.
func parentCommand() string { return "" }
