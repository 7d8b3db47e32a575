// Encodes one block with klauspost/reedsolomon: arguments k, r, symbol bytes; source on standard input, repair on
// standard output.
package main

import (
	"io"
	"os"
	"strconv"

	"github.com/klauspost/reedsolomon"
)

func check(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func main() {
	var numbers [3]int
	for i := range numbers {
		number, err := strconv.Atoi(os.Args[i+1])
		check(err)
		numbers[i] = number
	}
	k, r := numbers[0], numbers[1]
	symbols := make([][]byte, k+r)
	for i := range symbols {
		symbols[i] = make([]byte, numbers[2])
		if i < k {
			_, err := io.ReadFull(os.Stdin, symbols[i])
			check(err)
		}
	}
	encoder, err := reedsolomon.New(k, r, reedsolomon.WithCauchyMatrix())
	check(err)
	check(encoder.Encode(symbols))
	for _, symbol := range symbols[k:] {
		_, err := os.Stdout.Write(symbol)
		check(err)
	}
}
