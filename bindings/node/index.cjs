// sandport for Node: sandbox containers on the machine it runs on.
'use strict'

const { Backend } = require('./lib/backend.cjs')
const { SandportError } = require('./lib/errors.cjs')
const { library } = require('./lib/library.cjs')
const { Response } = require('./lib/requests.cjs')
const { json, plain } = require('./lib/text.cjs')

const ask = (name, request) => library().plain(name, json(plain(request, 'the request'), name))

exports.Backend = Backend
exports.Response = Response
exports.SandportError = SandportError
exports.version = () => library().version()
exports.allocatePort = (request = {}) => ask('allocate_port', request).port
exports.releasePort = (port) => ask('release_port', { port }).released
exports.setLog = (request) => void ask('set_log', request)
