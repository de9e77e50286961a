package com.example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.Map;

/** Answers requests: GET /hello?name=Ada */
public class Handler implements RequestHandler<Map<String, Object>, Map<String, String>> {
    @Override
    public Map<String, String> handleRequest(Map<String, Object> event, Context context) {
        String name = "world";
        if (event.get("queryStringParameters") instanceof Map<?, ?> query && query.get("name") instanceof String given) {
            name = given;
        }
        return Map.of("message", "Hello, " + name + "!");
    }
}
