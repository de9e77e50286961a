#!/bin/sh
# A program per request: the body comes in, what is printed goes out. POST /shout
tr '[:lower:]' '[:upper:]'
