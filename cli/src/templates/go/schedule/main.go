// Runs at times: flint.yaml says when.
package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func handle(_ context.Context, event events.CloudWatchEvent) (map[string]string, error) {
	due := event.Time.Format("2006-01-02T15:04:05Z07:00")
	fmt.Println("the report of", due, "is made")
	return map[string]string{"reported": due}, nil
}

func main() {
	lambda.Start(handle)
}
