import type { OpenAPIV3 } from 'openapi-types'
import { type Browser, chromium, type Page } from 'playwright-core'
import { startServer } from './lib/server.ts'

const pageSecondsMax = 30
const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome']

/** Stops Chromium from connecting to its makers. As root it has no sandbox. */
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

const password = 'correct-horse-battery'

/**
 * `page`: opens the API's page of the executable in Chromium, signs in, and sends a request from its form. Fails if an
 * operation is not shown, the response does not arrive, the page connects to another host, or an error is reported.
 */
export async function run(): Promise<void> {
  await using server = await startServer({ access: 'accounts', env: { CAY_ADMIN_PASSWORD: password } })
  const origin = `http://${server.address}`
  const browser = await launch()
  try {
    const faults = await findFaults(browser, origin)
    if (faults.length > 0) throw new Error(`${origin}/swagger\n${faults.join('\n')}`)
  } finally {
    await browser.close()
  }
  console.log(
    'the page of the API shows each operation, answers who signed in there, and asks no other host for anything',
  )
}

/** Opens the page, sends a request from it, and returns everything that went wrong. */
async function findFaults(browser: Browser, origin: string): Promise<string[]> {
  const faults: string[] = []
  const page = await browser.newPage()
  page.setDefaultTimeout(pageSecondsMax * 1000)
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console: ${message.text()}`)
  })
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
  page.on('requestfailed', (request) => faults.push(`failed: ${request.url()}`))
  page.on('request', (request) => {
    const url = new URL(request.url())
    if (url.origin !== origin && !['data:', 'blob:'].includes(url.protocol)) faults.push(`asked: ${url}`)
  })
  await page.goto(`${origin}/swagger`)
  await page.getByText('/v2/{name}/tags/list').first().waitFor()
  faults.push(...(await findMissing(page, origin)))
  faults.push(...(await askSignedIn(page)))
  await page.evaluate('document.fonts.ready.then(() => true)')
  return faults
}

/** Returns the tags and operations of the document that the page does not show. */
async function findMissing(page: Page, origin: string): Promise<string[]> {
  const { tags = [], paths } = (await (await fetch(`${origin}/swagger/json`)).json()) as OpenAPIV3.Document
  const operations = Object.values(paths).flatMap((item) => {
    const { parameters, ...methods } = item ?? {}
    return Object.values(methods) as OpenAPIV3.OperationObject[]
  })
  const wanted = [...tags.map(({ description }) => description), ...operations.map(({ summary }) => summary)]
  const shown = String(await page.evaluate('document.body.innerText'))
  return wanted.flatMap((text) => (shown.includes(text ?? '') ? [] : [`not shown: ${text}`]))
}

/** Signs in like a script of the page, and sends the form of an operation that needs a server admin. */
async function askSignedIn(page: Page): Promise<string[]> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'admin', password }),
  }
  const signIn = `fetch('/api/v1/session', ${JSON.stringify(init)}).then((response) => response.status)`
  const status = await page.evaluate(signIn)
  if (status !== 201) return [`signing in: ${status}`]
  await page.getByText('/api/v1/users', { exact: true }).first().click()
  await page
    .getByRole('button', { name: /test request.*\/api\/v1\/users\)?$/i })
    .first()
    .click()
  const form = page.getByRole('dialog').first()
  const answered = page.waitForResponse((response) => new URL(response.url()).pathname === '/api/v1/users')
  await form.getByRole('button', { name: /^send/i }).first().click()
  const answer = (await (await answered).json()) as { items?: { name: string }[] }
  await form.getByText('200 OK').first().waitFor()
  return answer.items?.[0]?.name === 'admin' ? [] : [`the answer is ${JSON.stringify(answer)}`]
}

/** @throws Error that says how to install Chromium, if it is missing. */
async function launch(): Promise<Browser> {
  const found = process.env.CHROMIUM ?? names.map((name) => Bun.which(name)).find((path) => path !== null)
  if (!found) {
    throw new Error(
      'this check needs Chromium: `apt-get install chromium`, or name it as CHROMIUM=/path/to/chromium',
    )
  }
  return chromium.launch({ executablePath: found, args: flags })
}
