import { sha256 } from '../lib/image.ts'
import { type AttackCase, atMost, millisecondsOf } from './case.ts'
import { CHECKER, clientOf, PASSWORD, pushImage } from './target.ts'

/** Whether time tells of blobs that are hidden from who asks, and of accounts that were imported with bcrypt. */
export const timing: AttackCase = {
  name: 'timing',
  async run(target) {
    await pushImage(target.admin, 'others/app')
    await pushImage(target.checker, `${CHECKER}/app`)
    const hidden = new TextEncoder().encode('a blob that others have')
    await target.admin.postBlob('others/app', hidden)
    const ask = (blob: Uint8Array) =>
      millisecondsOf(() => target.checker.send('GET', `/api/v1/blobs/${sha256(blob)}`))
    const [found, absent] = await fastest(400, [() => ask(hidden), () => ask(new Uint8Array([1]))])
    const passwordHash = await Bun.password.hash(PASSWORD, { algorithm: 'bcrypt', cost: 10 })
    for (const n of [0, 1, 2, 3]) await target.admin.api('PUT', `/users/imported-${n}`, { passwordHash })
    let tries = 0
    const guess = (name: string) => {
      const n = tries++
      const client = clientOf(target.url, `${name}-${n % 4}`, `192.0.2.${n}`, `guess-${n}`)
      return millisecondsOf(() => client.send('GET', '/v2/'))
    }
    const [imported, nobody] = await fastest(16, [() => guess('imported'), () => guess('nobody')])
    const [blobs, accounts] = [Math.abs(found - absent) * 1000, Math.abs(imported - nobody)]
    return [
      atMost('what a hidden blob takes longer than an absent one', '194', blobs, 'us', 100),
      atMost('what a guess at an imported account takes longer than one at none', '60', accounts, 'ms', 40),
    ]
  },
}

/** The fastest of two measures that take turns: what else runs slows some of them down. */
async function fastest(
  times: number,
  measures: [() => Promise<number>, () => Promise<number>],
): Promise<[number, number]> {
  const taken: [number[], number[]] = [[], []]
  for (let n = 0; n < times; n++) {
    taken[0].push(await measures[0]())
    taken[1].push(await measures[1]())
  }
  return [Math.min(...taken[0]), Math.min(...taken[1])]
}
