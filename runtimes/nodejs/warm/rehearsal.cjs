// The handler of the rehearsal.
exports.handler = async (event) => ({ statusCode: 200, body: event.rawPath });
