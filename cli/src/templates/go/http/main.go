// Answers requests: GET /hello?name=Ada
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func handle(_ context.Context, event events.APIGatewayV2HTTPRequest) (map[string]string, error) {
	name := event.QueryStringParameters["name"]
	if name == "" {
		name = "world"
	}
	return map[string]string{"message": "Hello, " + name + "!"}, nil
}

func main() {
	lambda.Start(handle)
}
