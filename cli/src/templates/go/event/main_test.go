package main

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

func TestNamesEveryObject(t *testing.T) {
	var event events.S3Event
	text := `{"Records": [{"s3": {"object": {"key": "my+cat.jpg"}}}]}`
	if err := json.Unmarshal([]byte(text), &event); err != nil {
		t.Fatal(err)
	}
	answer, err := handle(context.Background(), event)
	if err != nil || len(answer["keys"]) != 1 || answer["keys"][0] != "my cat.jpg" {
		t.Errorf("%v, %v", answer, err)
	}
}
