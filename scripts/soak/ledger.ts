import type { Described } from '../lib/registry.ts'
import type { Sample } from './samples.ts'

/** What a register holds: a digest, or null for nothing. */
export type Value = string | null

/** A change that was asked for. It counts as acknowledged when `ended` is a finite time. */
export interface Write {
  value: Value
  /** It changes the register only from this value. */
  only: Value | undefined
  began: number
  ended: number
}

/** A thing that changes as a whole: where a tag points, whether a repository has a blob or a manifest. */
export interface Register {
  kind: 'tag' | 'manifest' | 'blob'
  repository: string
  /** The tag's name or the digest. */
  name: string
  writes: Write[]
}

/** An upload that was not closed or cancelled with an answer. */
export interface PendingUpload {
  repository: string
  location: string
  sample: Sample
  /** Bytes that an answer named. */
  acknowledged: number
  /** Whether a request to close or cancel it was sent. */
  ending: 'close' | 'cancel' | undefined
}

/** A manifest that was sent. */
export interface SentManifest {
  bytes: Uint8Array
  blobs: Described[]
}

/**
 * What clients asked for and what was acknowledged, hence what the registry may hold after a crash: in each register
 * the value of a write that no acknowledged one has certainly followed. A write follows another certainly when it
 * began after the other had ended.
 */
export class Ledger {
  readonly uploads = new Map<string, PendingUpload>()
  readonly manifests = new Map<string, SentManifest>()
  readonly samples = new Map<string, Sample>()
  /** Writes of one request, which happen together or not at all. */
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

  /** The names of a kind that a repository has for certain. */
  certain(kind: Register['kind'], repository: string): string[] {
    return this.all(kind, repository)
      .filter((register) => !possible(register).has(null))
      .map(({ name }) => name)
  }

  /** Notes changes that are asked for by one request, before it is sent. */
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

  /** Notes that a request was answered: its changes hold. */
  acknowledge(writes: Write[]): void {
    const ended = ++this.time
    for (const write of writes) write.ended = ended
    this.acknowledged++
  }

  /** Notes that a request was refused: its changes have not happened. */
  refuse(writes: Write[]): void {
    for (const register of this.registers.values()) {
      if (register.writes.some((write) => writes.includes(write)))
        register.writes = register.writes.filter((write) => !writes.includes(write))
    }
  }

  /** Notes what a register holds while nobody changes it. */
  settle(register: Register, value: Value): void {
    const now = ++this.time
    register.writes = [{ value, only: undefined, began: now, ended: now }]
  }
}

/** What a register may hold. */
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
