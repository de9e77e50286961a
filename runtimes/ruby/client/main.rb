# The runtime client for Ruby: fetches invocations from the Lambda Runtime API and gives them to the function's handler.
#
#     ruby main.rb HANDLER          (or _HANDLER in the environment)

require_relative 'handler'
require_relative 'errors'
require_relative 'context'
require_relative 'runtime_api'

# Lines reach the log as they are written, whatever becomes of the process.
$stdout.sync = true
$stderr.sync = true

module Flint
  # Fetches, calls and answers, until the process is ended.
  class Client
    def initialize(api, handler)
      @api = api
      @handler = handler
    end

    def work
      loop { answer(@api.next) }
    end

    private

    def answer(request)
      ENV['_X_AMZN_TRACE_ID'] = request.trace_id
      @api.respond(request.id, serialize(@handler.call(parse(request.body), Context.new(request))))
    rescue SystemExit, SignalException
      raise
    rescue Exception => error # rubocop:disable Lint/RescueException: a handler's LoadError is an answer, too
      description = Errors.describe(error, 'Function')
      Errors.log(description)
      @api.error(request.id, description)
    end

    def parse(text)
      JSON.parse(text)
    rescue JSON::ParserError => error
      raise RuntimeFault.new('Runtime.UnmarshalError', "the event is not JSON: #{error.message}")
    end

    def serialize(answer)
      JSON.generate(answer)
    rescue JSON::GeneratorError, Encoding::UndefinedConversionError => error
      raise RuntimeFault.new('Runtime.MarshalError', "the answer cannot be written as JSON: #{error.message}")
    end
  end
end

api = Flint::RuntimeApi.new(ENV.fetch('AWS_LAMBDA_RUNTIME_API'))
begin
  handler = Flint::Handler.load(ENV['LAMBDA_TASK_ROOT'] || Dir.pwd, ARGV[0] || ENV['_HANDLER'] || '')
rescue SystemExit, SignalException
  raise
rescue Exception => error # rubocop:disable Lint/RescueException: so is one when its file is loaded
  description = Flint::Errors.describe(error, 'Init')
  Flint::Errors.log(description)
  api.init_error(description)
  exit 1
end
Flint::Client.new(api, handler).work
