<?php

require __DIR__ . '/app.php';

function same(array $expected, array $event): void
{
    $answer = handler($event, new stdClass());
    if ($answer !== $expected) {
        fwrite(STDERR, 'not ' . json_encode($expected) . ': ' . json_encode($answer) . "\n");
        exit(1);
    }
}

same(['message' => 'Hello, world!'], []);
same(['message' => 'Hello, Ada!'], ['queryStringParameters' => ['name' => 'Ada']]);
echo "ok\n";
