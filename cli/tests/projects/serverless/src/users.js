exports.list = async () => ({});
exports.create = async () => ({});
