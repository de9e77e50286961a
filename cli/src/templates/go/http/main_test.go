package main

import (
	"context"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

func TestGreets(t *testing.T) {
	for name, message := range map[string]string{"": "Hello, world!", "Ada": "Hello, Ada!"} {
		event := events.APIGatewayV2HTTPRequest{QueryStringParameters: map[string]string{"name": name}}
		answer, err := handle(context.Background(), event)
		if err != nil || answer["message"] != message {
			t.Errorf("%q: %v, %v", name, answer, err)
		}
	}
}
