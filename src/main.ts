import { runProgram } from './app/program.ts'

process.exit(await runProgram(process.argv))
