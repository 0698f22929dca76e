import { Elysia, t } from 'elysia'

const answer = (description: string) =>
  t.Object({ status: t.String({ description: '`ok`, or what is wrong' }) }, { description })

/** Whether the process lives, and whether it can serve. Both answer without a credential. */
export function health(problem: () => string | undefined) {
  return new Elysia({ name: 'health', tags: ['health'] })
    .get('/livez', () => ({ status: 'ok' }), {
      response: { 200: answer('It does.') },
      detail: { summary: 'The process lives', operationId: 'livez', security: [{}] },
    })
    .get(
      '/readyz',
      ({ status }) => {
        const found = problem()
        return found === undefined ? { status: 'ok' } : status(503, { status: found })
      },
      {
        response: { 200: answer('It can.'), 503: answer('It cannot; the status says why.') },
        detail: { summary: 'The server can store and serve', operationId: 'readyz', security: [{}] },
      },
    )
}
