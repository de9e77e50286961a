// Runs at times: flint.yaml says when.
interface Firing {
  time?: string;
}

export const handler = async (event: Firing) => {
  const due = event.time ?? "now";
  console.log(`the report of ${due} is made`);
  return { reported: due };
};
