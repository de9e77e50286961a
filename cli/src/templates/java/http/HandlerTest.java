package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Map;
import org.junit.jupiter.api.Test;

class HandlerTest {
    @Test
    void greetsTheWorld() {
        assertEquals(Map.of("message", "Hello, world!"), new Handler().handleRequest(Map.of(), null));
    }

    @Test
    void greetsByName() {
        Map<String, Object> event = Map.of("queryStringParameters", Map.of("name", "Ada"));
        assertEquals(Map.of("message", "Hello, Ada!"), new Handler().handleRequest(event, null));
    }
}
