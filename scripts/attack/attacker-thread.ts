import { ATTACKERS } from './attackers.ts'
import { clientsOf } from './target.ts'

declare const self: Worker

const CONNECTIONS = 4

/** What the thread is told: whom to attack and how, then to stop; it answers when it has begun, and how often it did. */
self.onmessage = async ({ data }: MessageEvent<{ url: string; name: string }>) => {
  const attacker = ATTACKERS[data.name]
  if (attacker === undefined) throw new Error(`there is no attacker ${data.name}`)
  const attack = await attacker(clientsOf(data.url))
  const state = { isDone: false, count: 0 }
  const stopped = Promise.withResolvers<void>()
  self.onmessage = () => {
    state.isDone = true
    stopped.resolve()
  }
  self.postMessage('begun')
  const repeat = async () => {
    while (!state.isDone) await attack.once(state.count++).catch(() => {})
  }
  const repeated = Promise.all(Array.from({ length: CONNECTIONS }, repeat))
  await stopped.promise
  await repeated
  await attack[Symbol.asyncDispose]()
  self.postMessage(state.count)
}
