import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../build.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'

const ROOT = '/sys/fs/cgroup'
const MEMORY_BYTES = 512 * 1024 * 1024

/** An executable that runs cay with 512 MB and one processor. */
export interface SmallMachine extends AsyncDisposable {
  executable: string
  /** How it is limited. */
  limits: string
}

/** Puts cay into a control group (version 1 or 2), or without the right to make one only on one processor. */
export async function smallMachine(): Promise<SmallMachine> {
  const cay = process.env.CAY_EXECUTABLE ?? (await build())
  const folder = await temporaryFolder('small')
  const groups = makeGroups(`cay-attack-${process.pid}`)
  const enter = groups.map((group) => `echo $$ > ${group}/cgroup.procs`)
  const pinned = groups.length === 0 ? 'taskset -c 0 ' : ''
  const executable = join(folder.path, 'cay')
  await Bun.write(executable, ['#!/bin/sh', ...enter, `exec ${pinned}${cay} "$@"`, ''].join('\n'))
  await chmod(executable, 0o755)
  return {
    executable,
    limits: groups.length === 0 ? 'one processor, no limit of memory' : 'one processor and 512 MB',
    async [Symbol.asyncDispose]() {
      for (const group of groups) rmdirSync(group)
      await folder[Symbol.asyncDispose]()
    },
  }
}

function makeGroups(name: string): string[] {
  const isSecond = existsSync(join(ROOT, 'cgroup.controllers'))
  const settings: [group: string, file: string, value: string][] = isSecond
    ? [
        [join(ROOT, name), 'memory.max', String(MEMORY_BYTES)],
        [join(ROOT, name), 'cpu.max', '100000 100000'],
      ]
    : [
        [join(ROOT, 'memory', name), 'memory.limit_in_bytes', String(MEMORY_BYTES)],
        [join(ROOT, 'cpu', name), 'cpu.cfs_quota_us', '100000'],
      ]
  const groups = [...new Set(settings.map(([group]) => group))]
  try {
    for (const group of groups) mkdirSync(group)
    for (const [group, file, value] of settings) writeFileSync(join(group, file), value)
    return groups
  } catch {
    for (const group of groups.filter(existsSync)) rmdirSync(group)
    return []
  }
}
