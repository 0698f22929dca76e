import { Command } from './values.tsx'

/** Says how to push a first image to this server. */
export function PushHelp() {
  const { host } = location
  return (
    <div class="push-help">
      <p>Push an image to create one:</p>
      <Command text={`docker login ${host}`} />
      <Command text={`docker tag alpine ${host}/alpine:3`} />
      <Command text={`docker push ${host}/alpine:3`} />
    </div>
  )
}
