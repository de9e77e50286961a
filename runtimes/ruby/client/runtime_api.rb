# The Lambda Runtime API, over a kept connection.

require 'json'
require 'net/http'

module Flint
  # One invocation.
  Request = Struct.new(:id, :deadline, :arn, :trace_id, :client_context, :identity, :tenant_id, :body)

  # The calls of a runtime.
  class RuntimeApi
    PREFIX = '/2018-06-01/runtime'.freeze

    def initialize(address)
      host, port = address.split(':')
      # No proxy of the environment is meant for this.
      @http = Net::HTTP.new(host, Integer(port), nil)
      # A poll waits for as long as there is nothing to do.
      @http.read_timeout = nil
      @http.keep_alive_timeout = 3600
      # An answer that is sent twice would be refused: whoever is to be asked again says so himself.
      @http.max_retries = 0
      @http.start
    end

    # The next invocation.
    def next
      answer = @http.get("#{PREFIX}/invocation/next")
      raise "the Runtime API answered a poll with #{answer.code}: #{answer.body}" unless answer.code == '200'

      Request.new(
        answer['lambda-runtime-aws-request-id'], answer['lambda-runtime-deadline-ms'].to_i,
        answer['lambda-runtime-invoked-function-arn'], answer['lambda-runtime-trace-id'],
        answer['lambda-runtime-client-context'], answer['lambda-runtime-cognito-identity'],
        answer['lambda-runtime-aws-tenant-id'], answer.body.force_encoding(Encoding::UTF_8)
      )
    end

    # The answer of an invocation: JSON text.
    def respond(id, text)
      post("/invocation/#{id}/response", text)
    end

    # The error of an invocation.
    def error(id, description)
      post("/invocation/#{id}/error", JSON.generate(description), type(description))
    end

    # The function cannot be initialized.
    def init_error(description)
      post('/init/error', JSON.generate(description), type(description))
    end

    private

    def post(path, body, headers = {})
      @http.post(PREFIX + path, body, { 'Content-Type' => 'application/json' }.merge(headers))
    end

    def type(description)
      { 'Lambda-Runtime-Function-Error-Type' => description[:errorType].gsub(/[^\x20-\x7e]/, '?') }
    end
  end
end
