import { expect, test } from 'bun:test'
import { Turns } from '../../src/storage/append.ts'

test('turns: a client with many large uploads does not delay the upload of another client', async () => {
  const turns = new Turns()
  const log: string[] = []
  const begin = (client: string) => {
    const turn = turns.begin(undefined, () => client)
    const taken = turn.take().then(() => log.push(client))
    return { turn, taken }
  }
  const many = Array.from({ length: 40 }, () => begin('many'))
  const places = many.slice(0, 8)
  await Promise.all(places.map(({ taken }) => taken))
  const one = begin('one')
  for (const { turn } of places.slice(0, 2)) turn.end()
  await one.taken
  expect(log).toEqual([...Array(9).fill('many'), 'one'])
  one.turn.end()
  await many[9]?.taken
  expect(log.length).toBe(11)
})
