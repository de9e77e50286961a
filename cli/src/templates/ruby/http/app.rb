# Answers requests: GET /hello?name=Ada

def handler(event:, context:)
  name = (event['queryStringParameters'] || {}).fetch('name', 'world')
  { message: "Hello, #{name}!" }
end
