package main

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

func TestReportsTheTimeThatWasDue(t *testing.T) {
	event := events.CloudWatchEvent{Time: time.Date(2027, 1, 31, 2, 0, 0, 0, time.UTC)}
	answer, err := handle(context.Background(), event)
	if err != nil || answer["reported"] != "2027-01-31T02:00:00Z" {
		t.Errorf("%v, %v", answer, err)
	}
}
