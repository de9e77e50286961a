# What goes to the Runtime API and to the log of an error.

module Flint
  # An error of the client itself, with the type that Lambda has for it.
  class RuntimeFault < StandardError
    attr_reader :type

    def initialize(type, message)
      super(message)
      @type = type
    end
  end

  # Descriptions of errors.
  module Errors
    HERE = __dir__

    # `phase` is Function or Init, as Lambda's client for Ruby has it: `Function<ArgumentError>`.
    def self.describe(error, phase)
      {
        errorType: error.is_a?(RuntimeFault) ? error.type : "#{phase}<#{error.class}>",
        errorMessage: text(error.message),
        stackTrace: (error.backtrace || []).take_while { |line| !line.start_with?(HERE) }.map { |line| text(line) }
      }
    end

    # One record, whatever its number of lines: the platform makes lines of carriage returns.
    def self.log(description)
      frames = description[:stackTrace].map { |line| "    #{line}" }
      all = ["[ERROR] #{description[:errorType]}: #{description[:errorMessage]}", *frames].join("\n")
      warn all.tr("\n", "\r")
    end

    def self.text(value)
      value.to_s.encode('UTF-8', invalid: :replace, undef: :replace).scrub
    end
  end
end
