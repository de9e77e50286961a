<?php

// Answers requests: GET /hello?name=Ada

function handler(array $event, object $context): array
{
    $name = $event['queryStringParameters']['name'] ?? 'world';
    return ['message' => "Hello, $name!"];
}
