import { expect, test } from 'bun:test'
import { type Answer, WorkerClient } from '../../src/runtime/threads.ts'
import { failureOf } from '../support/failure.ts'

type Question = { text: string }

/** A worker that replies in capitals, refuses `no`, does not reply to `hush`, and crashes on `die`. */
const SOURCE = `self.onmessage = ({ data }) => {
  for (const { text } of data) if (text === 'die') throw new Error('died')
  self.postMessage(data.filter(({ text }) => text !== 'hush').map(({ id, text }) =>
    text === 'no' ? { id, failure: 'refused' } : { id, value: text.toUpperCase() + data.length }))
}`

function open(isBatching = true) {
  const failures: string[] = []
  const together: number[] = []
  const worker = new Worker(URL.createObjectURL(new Blob([SOURCE], { type: 'text/javascript' })))
  const client = new WorkerClient<Question, string>(worker, {
    name: 'a thread',
    isBatching,
    toError: (failure) => new Error(failure),
    onFailure: ({ message }) => failures.push(message),
    onAnswers: (answers: Answer<string>[]) => together.push(answers.length),
  })
  return { client, failures, together }
}

test('workers: calls of one turn are sent in one message, and each gets its own reply', async () => {
  const { client, failures, together } = open()
  const answers = ['a', 'no', 'b'].map((text) => client.ask<string>({ text }))
  expect(client.waiting).toBe(3)
  const settled = await Promise.allSettled(answers)
  expect(settled).toMatchObject([{ value: 'A3' }, { reason: { message: 'refused' } }, { value: 'B3' }])
  expect([client.waiting, together, failures]).toEqual([0, [3], []])
  await client.stop()
})

test('workers: an urgent call is sent before the turn ends', async () => {
  const { client, together } = open(false)
  expect(await Promise.all(['a', 'b'].map((text) => client.ask<string>({ text })))).toEqual(['A1', 'B1'])
  expect(together).toEqual([1, 1])
  await client.stop()
})

test('workers: a crash fails waiting and later calls, and is reported once', async () => {
  const { client, failures } = open()
  const waiting = [failureOf(client.ask({ text: 'hush' })), failureOf(client.ask({ text: 'die' }))]
  for (const { message } of await Promise.all(waiting)) expect(message).toContain('a thread failed')
  expect((await failureOf(client.ask({ text: 'a' }))).message).toContain('a thread failed')
  await client.stop()
  expect(failures.length).toBe(1)
})

test('workers: stopping fails waiting calls, and is not reported as a failure', async () => {
  const { client, failures } = open()
  const waiting = failureOf(client.ask({ text: 'hush' }))
  await client.ask({ text: 'a' })
  await client.stop()
  expect((await waiting).message).toBe('a thread was stopped')
  expect(failures).toEqual([])
})
