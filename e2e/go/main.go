// A function in Go with AWS's own library, unmodified, for the runtime `provided`.
package main

import "github.com/aws/aws-lambda-go/lambda"

func main() {
	lambda.Start(func() (string, error) { return "hello from Go", nil })
}
