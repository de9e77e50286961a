// Takes objects that were put into a bucket: flint event gen s3-put shows such an event.
export const handler = async (event) => {
  const keys = (event.Records ?? []).map((record) => decodeURIComponent(record.s3.object.key.replaceAll("+", " ")));
  for (const key of keys) console.log(`${key} has arrived`);
  return { keys };
};
