# The context that a handler gets beside its event.

require 'json'

module Flint
  # The fields of Lambda's context.
  class Context
    attr_reader :aws_request_id, :invoked_function_arn, :deadline_ms, :function_name, :function_version,
                :memory_limit_in_mb, :log_group_name, :log_stream_name, :identity, :client_context, :tenant_id

    def initialize(request)
      @aws_request_id = request.id
      @invoked_function_arn = request.arn
      @deadline_ms = request.deadline
      @tenant_id = request.tenant_id
      @identity = parse(request.identity)
      @client_context = parse(request.client_context)
      @function_name = ENV.fetch('AWS_LAMBDA_FUNCTION_NAME', nil)
      @function_version = ENV.fetch('AWS_LAMBDA_FUNCTION_VERSION', nil)
      @memory_limit_in_mb = ENV.fetch('AWS_LAMBDA_FUNCTION_MEMORY_SIZE', nil)
      @log_group_name = ENV.fetch('AWS_LAMBDA_LOG_GROUP_NAME', nil)
      @log_stream_name = ENV.fetch('AWS_LAMBDA_LOG_STREAM_NAME', nil)
    end

    def get_remaining_time_in_millis
      [@deadline_ms - (Time.now.to_f * 1000).to_i, 0].max
    end

    private

    def parse(json)
      json && JSON.parse(json)
    rescue JSON::ParserError
      nil
    end
  end
end
