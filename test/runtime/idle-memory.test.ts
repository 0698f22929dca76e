import { expect, test } from 'bun:test'
import { IdleMemory } from '../../src/runtime/idle-memory.ts'

/** Looks once for each number: the seconds of processor time until then. Returns the looks that released memory. */
function releasesOf(looks: number[]): number[] {
  let cpuTime = 0
  const released: number[] = []
  let at = 0
  const idle = new IdleMemory({ cpuTime: () => cpuTime, release: () => {} })
  idle.add({ releaseMemory: () => void released.push(at) })
  for (const [look, seconds] of looks.entries()) {
    at = look
    cpuTime += seconds * 1e6
    idle.look()
  }
  return released
}

test('idle memory: it is released twice, once the process has been idle for three looks', () => {
  expect(releasesOf([5, 5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])).toEqual([4, 5])
})

test('idle memory: a busy process keeps its memory', () => {
  expect(releasesOf([5, 0.1, 0.1, 5, 0.1, 0.1, 5, 0.6, 0.1])).toEqual([])
})

test('idle memory: it is released again after the process has worked, also a little at a time', () => {
  const idle = Array<number>(10).fill(0.01)
  expect(releasesOf([5, ...idle, 5, ...idle])).toEqual([3, 4, 14, 15])
  expect(releasesOf([5, 0, 0, 0, 0, ...Array<number>(7).fill(0.4)])).toEqual([3, 4, 7, 8, 11])
})
