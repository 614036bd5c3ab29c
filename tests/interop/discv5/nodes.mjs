// COUNT discovery nodes of @chainsafe/discv5 on loopback that know each other.
// Writes a line of JSON for what happens; reads "ask ENR" lines: node 1 then talks to that node.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((a, b) => { resolve = a; reject = b; });
  return { promise, resolve, reject };
};
const { Discv5 } = await import("@chainsafe/discv5");
const { ENR, SignableENR } = await import("@chainsafe/enr");
const { generateKeyPair } = await import("@libp2p/crypto/keys");
const { multiaddr } = await import("@multiformats/multiaddr");
const { createSocket } = await import("node:dgram");
const { createInterface } = await import("node:readline");

const tell = (event, value) =>
  console.log(JSON.stringify({ event, value }, (_, v) => (typeof v === "bigint" ? Number(v) : v)));

const freePort = () =>
  new Promise((resolve) => {
    const socket = createSocket("udp4").bind(0, "127.0.0.1", () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });

const nodes = [];
for (let i = 0; i < Number(process.argv[2]); i++) {
  const privateKey = await generateKeyPair("secp256k1");
  const enr = SignableENR.createFromPrivateKey(privateKey);
  const address = multiaddr(`/ip4/127.0.0.1/udp/${await freePort()}`);
  enr.setLocationMultiaddr(address);
  const node = Discv5.create({
    enr, privateKey, bindAddrs: { ip4: address }, config: { enrUpdate: false },
  });
  await node.start();
  for (const other of nodes) {
    node.addEnr(other.enr.toENR());
    other.addEnr(node.enr.toENR());
  }
  node.on("talkReqReceived", (source, _enr, message) => {
    tell("talk request", Buffer.from(message.request).toString());
    node.sendTalkResp(source, message.id, Buffer.from("heard"));
  });
  nodes.push(node);
}
tell("nodes", nodes.map((node) => node.enr.encodeTxt()));

for await (const line of createInterface({ input: process.stdin })) {
  const enr = ENR.decodeTxt(line.replace("ask ", ""));
  nodes[1].addEnr(enr);
  tell("pong", (await nodes[1].sendPing(enr)).enrSeq);
  const answer = await nodes[1].sendTalkReq(enr, Buffer.from("hello"), "test");
  tell("talk answer", Buffer.from(answer).toString());
  tell("found", (await nodes[1].findNode(enr.nodeId)).map((found) => found.nodeId));
}
process.exit(0);
