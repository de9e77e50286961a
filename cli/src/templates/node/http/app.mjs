// Answers requests: GET /hello?name=Ada
export const handler = async (event) => {
  const name = event.queryStringParameters?.name ?? "world";
  return { message: `Hello, ${name}!` };
};
