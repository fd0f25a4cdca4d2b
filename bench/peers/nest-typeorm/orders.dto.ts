import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsInt,
  IsISO4217CurrencyCode,
  IsObject,
  IsOptional,
  IsString,
  IsUUID,
  Length,
  Max,
  MaxLength,
  Min,
  ValidateNested,
} from 'class-validator';

export class PlaceOrderLineDto {
  @IsString() @Length(1, 64) sku: string;
  @IsString() @Length(1, 200) name: string;
  @IsInt() @Min(1) @Max(1_000_000) quantity: number;
  @IsInt() @Min(0) @Max(Number.MAX_SAFE_INTEGER) unitPrice: number;
  @IsOptional() @IsInt() @Min(0) @Max(1_000_000) discountPpm?: number;
  @IsOptional() @IsInt() @Min(0) @Max(1_000_000) taxPpm?: number;
}

export class PlaceOrderDto {
  @IsOptional() @IsUUID() userId?: string;
  @IsOptional() @IsString() @Length(1, 100) reference?: string;
  @IsISO4217CurrencyCode() currency: string;

  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(200)
  @ValidateNested({ each: true })
  @Type(() => PlaceOrderLineDto)
  lines: PlaceOrderLineDto[];

  @IsOptional() @IsInt() @Min(0) @Max(Number.MAX_SAFE_INTEGER) shipping?: number;
  @IsOptional() @IsString() @MaxLength(2_000) note?: string;
  @IsOptional() @IsObject() metadata?: Record<string, string>;
}

export class OrderQueryDto {
  @IsOptional() @IsUUID() userId?: string;
  @IsOptional() @Type(() => Number) @IsInt() @Min(1) @Max(100) limit: number = 20;
  @IsOptional() @IsString() @MaxLength(100) cursor?: string;
}
