// Takes objects that were put into a bucket: flint event gen s3-put shows such an event.
package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func handle(_ context.Context, event events.S3Event) (map[string][]string, error) {
	keys := []string{}
	for _, record := range event.Records {
		fmt.Println(record.S3.Object.URLDecodedKey, "has arrived")
		keys = append(keys, record.S3.Object.URLDecodedKey)
	}
	return map[string][]string{"keys": keys}, nil
}

func main() {
	lambda.Start(handle)
}
