module github.com/mcpsiem/mcpsiem/test/bench/tokens

go 1.26.0

replace github.com/mcpsiem/mcpsiem => ../../..

require (
	github.com/mcpsiem/mcpsiem v0.0.0
	github.com/pkoukk/tiktoken-go v0.1.8
	github.com/pkoukk/tiktoken-go-loader v0.0.2
	github.com/tiktoken-go/tokenizer v0.10.0
)

require (
	github.com/dlclark/regexp2 v1.11.0 // indirect
	github.com/dlclark/regexp2/v2 v2.5.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
)
