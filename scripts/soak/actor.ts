import type { Answer, Sent } from '../lib/registry.ts'
import type { Ledger, Register, Value } from './ledger.ts'
import type { Sample } from './samples.ts'
import type { Client } from './trial.ts'

/** A client that records its requests. */
export interface Actor extends Client {
  ledger: Ledger
  /** The repositories of all clients. */
  repositories: string[]
}

/** One action of a client. It ends with the response, and fails if the registry was killed. */
export type Act = (actor: Actor) => Promise<void>

export interface Change {
  register: Register
  value: Value
  only?: Value
}

/** Sends a request that changes something, and records before and after it what it may change and has changed. */
export async function change(
  { registry, ledger }: Actor,
  changes: Change[],
  [method, path, sent]: [string, string, Sent?],
  statuses: { done: number; refused?: number[] },
): Promise<Answer> {
  const writes = ledger.begin(changes)
  const answer = await registry.expect([statuses.done, ...(statuses.refused ?? [])], method, path, sent)
  if (answer.status === statuses.done) ledger.acknowledge(writes)
  else ledger.refuse(writes)
  return answer
}

/** Creates the content of a blob, which is mostly small. */
export function makeSample({ samples, random, ledger }: Actor, bytesMax: number): Sample {
  const size = 8 + random.below(random.chance(0.5) ? 4096 : bytesMax)
  const sample = samples.make(random, size, random.chance(0.1) ? 'sha512' : 'sha256')
  ledger.samples.set(sample.digest, sample)
  return sample
}
