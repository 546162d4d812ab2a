// Prints the code of an authenticator app for the text of a QR code, some seconds from now: node code.mjs URI [SECONDS]
import { generateSync } from "otplib";
import { parse } from "@otplib/uri";

const [uri, seconds = "0"] = process.argv.slice(2);
const { params } = parse(uri);
const epoch = Math.floor(Date.now() / 1000) + Number(seconds);
console.log(generateSync({ secret: params.secret, algorithm: params.algorithm, digits: params.digits, period: params.period, epoch }));
