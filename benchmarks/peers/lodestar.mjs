// Lodestar's light client over the objects of a job file: `node lodestar.mjs JOB HASHER`.
// Each line on standard input starts a round with a fresh store; its answer is a line of JSON with
// the milliseconds of each update from bytes to applied.
import {readFileSync} from "node:fs";
import {createInterface} from "node:readline";
import {setHasher} from "@chainsafe/persistent-merkle-tree";

const [jobPath, hasherName] = process.argv.slice(2);
const {hasher} = await import(`@chainsafe/persistent-merkle-tree/hasher/${hasherName}`);
if (typeof hasher.initialize === "function") await hasher.initialize();
setHasher(hasher); // before anything that hashes is imported

const {default: bls} = await import("@chainsafe/bls");
const {createBeaconConfig} = await import("@lodestar/config");
const {networksChainConfig} = await import("@lodestar/config/networks");
const {LightclientSpec} = await import("@lodestar/light-client/spec");
const {ssz} = await import("@lodestar/types");

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
const job = JSON.parse(readFileSync(jobPath, "utf8"));
const chain = {...networksChainConfig.mainnet};
for (const {name, epoch, version} of job.forks) {
  if (!(`${name}_FORK_EPOCH` in chain)) continue; // a fork that this version does not know
  chain[`${name}_FORK_EPOCH`] = epoch === null ? Infinity : epoch;
  chain[`${name}_FORK_VERSION`] = bytes(version);
}
const config = createBeaconConfig(chain, bytes(job.genesis_validators_root));
const bootstrap = ssz[job.bootstrap_format].LightClientBootstrap.deserialize(bytes(job.bootstrap));
const updates = job.updates.map(({format, data}) => ({
  type: ssz[format].LightClientUpdate,
  data: bytes(data),
}));

function accepted(spec, update) {
  const {finalizedHeader, optimisticHeader, bestValidUpdates} = spec.store;
  return (
    finalizedHeader.beacon.slot === update.finalizedHeader.beacon.slot &&
    optimisticHeader.beacon.slot === update.attestedHeader.beacon.slot &&
    [...bestValidUpdates.values()].some((best) => best.update === update)
  );
}

function round() {
  const spec = new LightclientSpec(config, {}, bootstrap);
  const times = [];
  for (const {type, data} of updates) {
    const start = performance.now();
    const update = type.deserialize(data);
    spec.onUpdate(job.current_slot, update);
    times.push(performance.now() - start);
    if (!accepted(spec, update)) throw new Error(`not accepted: slot ${update.signatureSlot}`);
  }
  return times;
}

// It must refuse what is wrong, or its times say nothing: the signature of another update.
function refusesWrongSignature() {
  const [first, other] = updates.map(({type, data}) => type.deserialize(data));
  first.syncAggregate.syncCommitteeSignature = other.syncAggregate.syncCommitteeSignature;
  try {
    new LightclientSpec(config, {}, bootstrap).onUpdate(job.current_slot, first);
  } catch {
    return true;
  }
  return false;
}

const greeting = {
  bls: bls.implementation,
  hasher: hasher.name,
  node: process.version,
  refuses: refusesWrongSignature(),
};
console.log(JSON.stringify(greeting));
for await (const _ of createInterface({input: process.stdin})) {
  console.log(JSON.stringify(round()));
}
