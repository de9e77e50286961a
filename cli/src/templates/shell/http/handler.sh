#!/bin/sh
# A program for each request: the body is its input, and what it prints is the answer.
name=$(cat)
printf 'Hello, %s!\n' "${name:-world}"
