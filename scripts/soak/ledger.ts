import type { Described } from '../lib/registry.ts'
import type { Sample } from './samples.ts'

/** The value of a register: a digest, or null if it has none. */
export type Value = string | null

/** A requested change. It is acknowledged if `ended` is finite. */
export interface Write {
  value: Value
  /** It applies only if the register has this value. */
  only: Value | undefined
  began: number
  ended: number
}

/** A value that changes atomically: the target of a tag, or whether a repository has a blob or a manifest. */
export interface Register {
  kind: 'tag' | 'manifest' | 'blob'
  repository: string
  /** The tag's name or the digest. */
  name: string
  writes: Write[]
}

/** An upload whose close or cancellation was not acknowledged. */
export interface PendingUpload {
  repository: string
  location: string
  sample: Sample
  /** The bytes that a response acknowledged. */
  acknowledged: number
  /** Whether a request was sent to close or cancel it. */
  ending: 'close' | 'cancel' | undefined
}

/** A manifest that was sent. */
export interface SentManifest {
  bytes: Uint8Array
  blobs: Described[]
}

/**
 * What clients requested and what was acknowledged, and therefore what the registry may contain after a crash: in each
 * register, the value of a write that no acknowledged write has certainly followed. A write certainly follows another one if
 * it began after the other one had ended.
 */
export class Ledger {
  readonly uploads = new Map<string, PendingUpload>()
  readonly manifests = new Map<string, SentManifest>()
  readonly samples = new Map<string, Sample>()
  /** The writes of one request, which are atomic. */
  readonly groups: { register: Register; write: Write; before: Value[] }[][] = []
  acknowledged = 0
  private readonly registers = new Map<string, Register>()
  private time = 0

  register(kind: Register['kind'], repository: string, name: string): Register {
    const key = `${kind} ${repository} ${name}`
    let register = this.registers.get(key)
    if (register === undefined) {
      register = { kind, repository, name, writes: [{ value: null, only: undefined, began: 0, ended: 0 }] }
      this.registers.set(key, register)
    }
    return register
  }

  /** All registers, or those of one kind and repository. */
  all(kind?: Register['kind'], repository?: string): Register[] {
    return [...this.registers.values()].filter(
      (register) =>
        (kind === undefined || register.kind === kind) &&
        (repository === undefined || register.repository === repository),
    )
  }

  /** The names of a kind that a repository certainly has. */
  certain(kind: Register['kind'], repository: string): string[] {
    return this.all(kind, repository)
      .filter((register) => !possible(register).has(null))
      .map(({ name }) => name)
  }

  /** Records the changes of a request before it is sent. */
  begin(changes: { register: Register; value: Value; only?: Value }[]): Write[] {
    const began = ++this.time
    const group = changes.map(({ register, value, only }) => {
      const before = [...possible(register)]
      const write: Write = { value, only, began, ended: Number.POSITIVE_INFINITY }
      register.writes.push(write)
      return { register, write, before }
    })
    if (group.length > 1 && group.every(({ write }) => write.only === undefined)) this.groups.push(group)
    return group.map(({ write }) => write)
  }

  /** Records that a request succeeded, so its changes are durable. */
  acknowledge(writes: Write[]): void {
    const ended = ++this.time
    for (const write of writes) write.ended = ended
    this.acknowledged++
  }

  /** Records that a request was refused, so its changes did not happen. */
  refuse(writes: Write[]): void {
    for (const register of this.registers.values()) {
      if (register.writes.some((write) => writes.includes(write)))
        register.writes = register.writes.filter((write) => !writes.includes(write))
    }
  }

  /** Records the value of a register while no client changes it. */
  settle(register: Register, value: Value): void {
    const now = ++this.time
    register.writes = [{ value, only: undefined, began: now, ended: now }]
  }
}

/** Returns the values that a register may have. */
export function possible({ writes }: Register): Set<Value> {
  const standing = writes.filter(
    ({ ended, value }) =>
      !writes.some(
        (later) =>
          later.began > ended &&
          Number.isFinite(later.ended) &&
          (later.only === undefined || later.only === value),
      ),
  )
  return new Set(standing.map(({ value }) => value))
}
