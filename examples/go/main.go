// A function in Go, with AWS's own library.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
)

func handle(context.Context) (map[string]string, error) {
	greeting, err := os.ReadFile("greeting.txt")
	return map[string]string{"message": string(greeting)}, err
}

func main() {
	lambda.Start(handle)
}
