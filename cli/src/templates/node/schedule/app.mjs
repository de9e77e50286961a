// Runs at times: flint.yaml says when.
export const handler = async (event) => {
  const due = event.time ?? "now";
  console.log(`the report of ${due} is made`);
  return { reported: due };
};
