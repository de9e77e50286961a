// A function over aws-lambda-go, for the watchdog's tests.
package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

var meeting sync.WaitGroup

func handle(ctx context.Context, event events.APIGatewayV2HTTPRequest) (any, error) {
	switch event.RawPath {
	case "/error":
		return nil, errors.New("boom")
	case "/panic":
		panic("at the handler")
	case "/stream":
		return &events.LambdaFunctionURLStreamingResponse{
			StatusCode: 203,
			Headers:    map[string]string{"content-type": "text/plain"},
			Body:       strings.NewReader("streamed"),
		}, nil
	case "/meet":
		meeting.Done()
		meeting.Wait()
	}
	lc, _ := lambdacontext.FromContext(ctx)
	return events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: lc.AwsRequestID}, nil
}

func main() {
	if os.Getenv("MEET") == "3" {
		meeting.Add(3)
	}
	lambda.Start(handle)
}
