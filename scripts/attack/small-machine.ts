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

/** Gives cay one processor, and the memory by a control group (version 1 or 2) where one can be made. */
export async function smallMachine(): Promise<SmallMachine> {
  const cay = process.env.CAY_EXECUTABLE ?? (await build())
  const folder = await temporaryFolder('small')
  const group = makeGroup(`cay-attack-${process.pid}`)
  const enter = group === undefined ? '' : `echo $$ > ${group}/cgroup.procs`
  const executable = join(folder.path, 'cay')
  await Bun.write(executable, ['#!/bin/sh', enter, `exec taskset -c 0 ${cay} "$@"`, ''].join('\n'))
  await chmod(executable, 0o755)
  return {
    executable,
    limits: group === undefined ? 'one processor, no limit of memory' : 'one processor and 512 MB',
    async [Symbol.asyncDispose]() {
      if (group !== undefined) rmdirSync(group)
      await folder[Symbol.asyncDispose]()
    },
  }
}

function makeGroup(name: string): string | undefined {
  const isSecond = existsSync(join(ROOT, 'cgroup.controllers'))
  const group = isSecond ? join(ROOT, name) : join(ROOT, 'memory', name)
  try {
    mkdirSync(group)
    writeFileSync(join(group, isSecond ? 'memory.max' : 'memory.limit_in_bytes'), String(MEMORY_BYTES))
    return group
  } catch {
    if (existsSync(group)) rmdirSync(group)
    return undefined
  }
}
