import { sha256 } from '../lib/image.ts'
import { type AttackCase, millisecondsOf } from './case.ts'
import { CHECKER, PASSWORD, pushImage } from './target.ts'

const user = `${CHECKER}:${PASSWORD}`

/** Whether time tells of blobs that are hidden from who asks, and of accounts that were imported with bcrypt. */
export const timing: AttackCase = {
  name: 'timing',
  async run(target) {
    await pushImage(target, 'others/app', 'latest', `admin:${PASSWORD}`)
    await pushImage(target, `${CHECKER}/app`, 'latest', user)
    const hidden = new TextEncoder().encode('a blob that others have')
    const upload = `/v2/others/app/blobs/uploads/?digest=${sha256(hidden)}`
    await target.ask('POST', upload, { as: `admin:${PASSWORD}`, body: hidden })
    const ask = (blob: Uint8Array<ArrayBuffer>) =>
      millisecondsOf(() => target.ask('GET', `/api/v1/blobs/${sha256(blob)}`, { as: user }))
    const [found, absent] = await fastest(400, [() => ask(hidden), () => ask(new Uint8Array([1]))])
    const passwordHash = await Bun.password.hash(PASSWORD, { algorithm: 'bcrypt', cost: 10 })
    for (const n of [0, 1, 2, 3]) await target.admin('PUT', `/api/v1/users/imported-${n}`, { passwordHash })
    let tries = 0
    const guess = (name: string) => {
      const n = tries++
      return millisecondsOf(() =>
        target.ask('GET', '/v2/', { as: `${name}-${n % 4}:guess-${n}`, from: `192.0.2.${n}` }),
      )
    }
    const [imported, nobody] = await fastest(16, [() => guess('imported'), () => guess('nobody')])
    return [
      {
        what: 'what a hidden blob takes longer than an absent one',
        before: '194',
        now: Math.abs(found - absent) * 1000,
        unit: 'us',
        limit: ['at most', 100],
      },
      {
        what: 'what a guess at an imported account takes longer than one at none',
        before: '60',
        now: Math.abs(imported - nobody),
        unit: 'ms',
        limit: ['at most', 40],
      },
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
