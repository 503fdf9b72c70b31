// Makes a server the only member of the replica set rs0, unless it is a member already; waits until it is the primary.
try {
  rs.status();
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  rs.initiate({ _id: "rs0", members: [{ _id: 0, host: "mongo:27017" }] });
}
const deadline = Date.now() + 60_000;
while (!db.hello().isWritablePrimary) {
  if (Date.now() > deadline) throw new Error("the replica set has no primary after 60 seconds");
  sleep(200);
}
print("the replica set has a primary");
