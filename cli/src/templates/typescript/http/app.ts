// Answers requests: GET /hello?name=Ada
interface Request {
  queryStringParameters?: Record<string, string>;
}

export const handler = async (event: Request) => {
  const name = event.queryStringParameters?.name ?? "world";
  return { message: `Hello, ${name}!` };
};
