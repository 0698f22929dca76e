import { Elysia, t } from 'elysia'

const answer = (description: string) =>
  t.Object({ status: t.String({ description: '`ok`, or what is wrong' }) }, { description })

/** GET /livez and /readyz. Neither needs a credential. */
export function health(problem: () => string | undefined) {
  return new Elysia({ name: 'health', tags: ['health'] })
    .get('/livez', () => ({ status: 'ok' }), {
      response: { 200: answer('The process is running.') },
      detail: { summary: 'Check that the process is running', operationId: 'getLiveness', security: [{}] },
    })
    .get(
      '/readyz',
      ({ status }) => {
        const found = problem()
        return found === undefined ? { status: 'ok' } : status(503, { status: found })
      },
      {
        response: {
          200: answer('The server is ready.'),
          503: answer('The server is not ready; the status says why.'),
        },
        detail: { summary: 'Check that the server is ready', operationId: 'getReadiness', security: [{}] },
      },
    )
}
