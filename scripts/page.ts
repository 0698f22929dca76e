import { type Browser, chromium } from 'playwright-core'
import { startServer } from './server.ts'

const pageSecondsMax = 30
const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome']

/** Chromium makes calls of its own, to its makers, unless told not to; root has no sandbox. */
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/**
 * `page`: opens the API's page of the executable in Chromium, and fails when it does not show the endpoints, asks
 * another host for anything, or reports an error.
 */
export async function run(): Promise<void> {
  await using server = await startServer()
  const origin = `http://${server.address}`
  const browser = await launch()
  try {
    const faults = await findFaults(browser, origin)
    if (faults.length > 0) throw new Error(`${origin}/swagger\n${faults.join('\n')}`)
  } finally {
    await browser.close()
  }
  console.log('the page of the API shows its endpoints, and asks no other host for anything')
}

/** Opens the page, reads an operation and its form for a request, and returns all that should not have happened. */
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
  const operation = page.getByText('/v2/{name}/tags/list').first()
  await operation.click()
  await page
    .getByRole('button', { name: /test request/i })
    .first()
    .click()
  await page.getByRole('dialog').first().waitFor()
  await page.evaluate('document.fonts.ready.then(() => true)')
  return faults
}

/** @throws Error that says how to get Chromium, when there is none. */
async function launch(): Promise<Browser> {
  const found = process.env.CHROMIUM ?? names.map((name) => Bun.which(name)).find((path) => path !== null)
  if (!found) {
    throw new Error(
      'this check needs Chromium: `apt-get install chromium`, or name it as CHROMIUM=/path/to/chromium',
    )
  }
  return chromium.launch({ executablePath: found, args: flags })
}
